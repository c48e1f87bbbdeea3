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
CREATE INDEX `sale_jobs_open` ON `sale_jobs` (`finished_at_ms`,`stepped_at_ms`);--> statement-breakpoint
CREATE INDEX `waitlist_order` ON `waitlist` (`sale_id`,`deadline_ms`,`ticket`,`reservation_id`,`at_least`);