ALTER TABLE `notifications` ADD `round` bigint DEFAULT 0 NOT NULL, DROP INDEX `notifications_once`, ADD CONSTRAINT `notifications_once` UNIQUE(`subject_id`,`version`,`kind`,`round`);--> statement-breakpoint
ALTER TABLE `sales` ADD `pay_within_ms` bigint;--> statement-breakpoint
ALTER TABLE `sales` ADD `offer_cutoff_ms` bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `sales` ADD `paused_at_ms` bigint;--> statement-breakpoint
ALTER TABLE `sales` ADD `clock_offset_ms` bigint DEFAULT 0 NOT NULL;