ALTER TABLE `customers` MODIFY COLUMN `role` enum('customer','operator','viewer','admin') NOT NULL;--> statement-breakpoint
CREATE INDEX `customers_role` ON `customers` (`role`,`id`);