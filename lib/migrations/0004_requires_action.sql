ALTER TABLE `purchases` MODIFY COLUMN `state` enum('requested','unknown','captured','declined','refunding','refunded','refund_failed','disputed','requires_action') NOT NULL;--> statement-breakpoint
ALTER TABLE `purchases` ADD `action_url` varchar(2048);--> statement-breakpoint
ALTER TABLE `purchases` ADD `action_deadline_ms` bigint;