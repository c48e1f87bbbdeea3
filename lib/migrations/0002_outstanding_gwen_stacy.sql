ALTER TABLE `customers` ADD `locale` varchar(35);--> statement-breakpoint
ALTER TABLE `customers` ADD `time_zone` varchar(64);