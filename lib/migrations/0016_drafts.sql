ALTER TABLE `sales` ADD `public_from_ms` bigint DEFAULT 0;--> statement-breakpoint
ALTER TABLE `sales` ADD `publish_told` boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE `sales` ADD `access_code` varchar(64);