CREATE TABLE `refund_disputes` (
	`purchase_id` binary(16) NOT NULL,
	`refund_key` varchar(64) NOT NULL,
	`state` enum('open','accepted','rejected') NOT NULL,
	`reason` varchar(64) NOT NULL,
	`charge_id` varchar(64) NOT NULL,
	`amount_minor` bigint,
	`currency` varchar(16),
	`reference` varchar(255),
	`told_at_ms` bigint NOT NULL,
	`decided_at_ms` bigint,
	CONSTRAINT `refund_disputes_purchase_id_refund_key_pk` PRIMARY KEY(`purchase_id`,`refund_key`)
);
--> statement-breakpoint
ALTER TABLE `sale_jobs` MODIFY COLUMN `kind` enum('rescheduled','paused','resumed','purchase-opened','closing-soon','ending','moved-up') NOT NULL;--> statement-breakpoint
CREATE INDEX `refund_disputes_open` ON `refund_disputes` (`state`,`purchase_id`);