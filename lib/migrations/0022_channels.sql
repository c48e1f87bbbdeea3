ALTER TABLE `mails` ADD `channel` varchar(16) DEFAULT 'mail' NOT NULL;--> statement-breakpoint
CREATE INDEX `mails_channel_due` ON `mails` (`channel`,`state`,`due_at_ms`);