CREATE TABLE `kept_answers` (
	`call_hash` binary(32) NOT NULL,
	`fingerprint` binary(32) NOT NULL,
	`answer` mediumtext NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `kept_answers_call_hash` PRIMARY KEY(`call_hash`)
);
--> statement-breakpoint
CREATE INDEX `kept_answers_age` ON `kept_answers` (`created_at_ms`);