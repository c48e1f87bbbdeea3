ALTER TABLE `refunds` DROP CONSTRAINT `refunds_amount`;--> statement-breakpoint
ALTER TABLE `refunds` MODIFY COLUMN `releases` varchar(4096) NOT NULL;--> statement-breakpoint
ALTER TABLE `refunds` ADD `for_items` varchar(4096);--> statement-breakpoint
ALTER TABLE `refunds` ADD CONSTRAINT `refunds_amount` CHECK (`refunds`.`amount_minor` >= 0);