ALTER TABLE `sales` ADD `pay_within_ms` bigint;--> statement-breakpoint
ALTER TABLE `sales` ADD `offer_cutoff_ms` bigint DEFAULT 0 NOT NULL;