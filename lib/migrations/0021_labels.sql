CREATE TABLE `labels` (
	`subject_id` binary(16) NOT NULL,
	`kind` enum('product','sale','reservation','purchase') NOT NULL,
	`reference` varchar(64),
	`sole_reference` varchar(64),
	`metadata` text,
	`given_digest` binary(16),
	`updated_at_ms` bigint NOT NULL,
	CONSTRAINT `labels_subject_id` PRIMARY KEY(`subject_id`),
	CONSTRAINT `labels_sole` UNIQUE(`kind`,`sole_reference`)
);
--> statement-breakpoint
ALTER TABLE `purchases` ADD `key_id` binary(16);--> statement-breakpoint
ALTER TABLE `reservations` ADD `key_id` binary(16);--> statement-breakpoint
CREATE INDEX `labels_reference` ON `labels` (`reference`,`subject_id`);