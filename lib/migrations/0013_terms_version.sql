ALTER TABLE `sales` ADD `reopens` boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `sales` ADD `terms_version` int DEFAULT 0 NOT NULL;