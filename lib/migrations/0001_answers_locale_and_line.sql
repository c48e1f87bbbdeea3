CREATE TABLE `kept_answers` (
	`call_hash` binary(32) NOT NULL,
	`fingerprint` binary(32) NOT NULL,
	`answer` mediumtext NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `kept_answers_call_hash` PRIMARY KEY(`call_hash`)
);
--> statement-breakpoint
DROP INDEX `waitlist_deadline` ON `waitlist`;--> statement-breakpoint
ALTER TABLE `customers` ADD `locale` varchar(35);--> statement-breakpoint
ALTER TABLE `customers` ADD `time_zone` varchar(64);--> statement-breakpoint
ALTER TABLE `refresh_tokens` ADD `successor_salt` binary(32);--> statement-breakpoint
ALTER TABLE `waitlist` ADD `at_least` int DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX `kept_answers_age` ON `kept_answers` (`created_at_ms`);--> statement-breakpoint
CREATE INDEX `waitlist_line` ON `waitlist` (`sale_id`,`deadline_ms`,`at_least`);