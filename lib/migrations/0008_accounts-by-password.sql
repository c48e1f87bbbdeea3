ALTER TABLE `customers` DROP INDEX `customers_email`;--> statement-breakpoint
ALTER TABLE `customers` ADD CONSTRAINT `customers_email_password` UNIQUE(`email`,`password_hash`);