CREATE TABLE `due_reminders` (
	`sale_id` binary(16) NOT NULL,
	`deadline_ms` bigint NOT NULL,
	`at_least` int NOT NULL,
	`ticket` bigint NOT NULL,
	`reservation_id` binary(16) NOT NULL,
	CONSTRAINT `due_reminders_sale_id` PRIMARY KEY(`sale_id`)
);
--> statement-breakpoint
CREATE TABLE `sale_jobs` (
	`sale_id` binary(16) NOT NULL,
	`round` bigint NOT NULL,
	`kind` enum('rescheduled','paused','resumed','purchase-opened','closing-soon','ending') NOT NULL,
	`started_at_ms` bigint NOT NULL,
	`after_id` binary(16),
	`handled` int NOT NULL,
	`stepped_at_ms` bigint NOT NULL,
	`finished_at_ms` bigint,
	`superseded` boolean NOT NULL,
	CONSTRAINT `sale_jobs_sale_id_round_kind_pk` PRIMARY KEY(`sale_id`,`round`,`kind`)
);
--> statement-breakpoint
CREATE TABLE `reconciliations` (
	`id` binary(16) NOT NULL,
	`sale_id` binary(16),
	`restored` boolean NOT NULL,
	`state` enum('running','done') NOT NULL,
	`steps` int NOT NULL,
	`progress` mediumtext NOT NULL,
	`sales` int NOT NULL,
	`reservations` int NOT NULL,
	`drifts_found` int NOT NULL,
	`drifts_repaired` int NOT NULL,
	`drifts` mediumtext NOT NULL,
	`books_unchecked` int NOT NULL,
	`started_at_ms` bigint NOT NULL,
	`moved_at_ms` bigint NOT NULL,
	`finished_at_ms` bigint,
	CONSTRAINT `reconciliations_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
ALTER TABLE `refunds` DROP CONSTRAINT `refunds_amount`;--> statement-breakpoint
ALTER TABLE `purchases` MODIFY COLUMN `state` enum('requested','unknown','captured','declined','refunding','refunded','refund_failed','disputed','requires_action') NOT NULL;--> statement-breakpoint
ALTER TABLE `refunds` MODIFY COLUMN `releases` varchar(4096) NOT NULL;--> statement-breakpoint
ALTER TABLE `purchases` ADD `action_url` varchar(2048);--> statement-breakpoint
ALTER TABLE `purchases` ADD `action_deadline_ms` bigint;--> statement-breakpoint
ALTER TABLE `refunds` ADD `for_items` varchar(4096);--> statement-breakpoint
ALTER TABLE `reservations` ADD `part_of` binary(16);--> statement-breakpoint
ALTER TABLE `reservations` ADD `asked_quantity` int;--> statement-breakpoint
ALTER TABLE `reservations` ADD `asked_at_least` int;--> statement-breakpoint
CREATE INDEX `sale_jobs_open` ON `sale_jobs` (`finished_at_ms`,`stepped_at_ms`);--> statement-breakpoint
CREATE INDEX `reconciliations_state` ON `reconciliations` (`state`,`moved_at_ms`);--> statement-breakpoint
ALTER TABLE `refunds` ADD CONSTRAINT `refunds_amount` CHECK (`refunds`.`amount_minor` >= 0);--> statement-breakpoint
CREATE INDEX `waitlist_order` ON `waitlist` (`sale_id`,`deadline_ms`,`ticket`,`reservation_id`,`at_least`);