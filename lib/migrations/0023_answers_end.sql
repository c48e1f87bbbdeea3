ALTER TABLE `kept_answers` ADD `expires_at_ms` bigint;--> statement-breakpoint
CREATE INDEX `kept_answers_end` ON `kept_answers` (`expires_at_ms`);