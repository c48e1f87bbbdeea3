DROP INDEX `waitlist_deadline` ON `waitlist`;--> statement-breakpoint
ALTER TABLE `waitlist` ADD `at_least` int DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX `waitlist_line` ON `waitlist` (`sale_id`,`deadline_ms`,`at_least`);