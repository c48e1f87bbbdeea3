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
CREATE INDEX `reconciliations_state` ON `reconciliations` (`state`,`moved_at_ms`);