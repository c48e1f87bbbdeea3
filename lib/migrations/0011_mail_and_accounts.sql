CREATE TABLE `customer_codes` (
	`customer_id` binary(16) NOT NULL,
	`purpose` enum('contact','password') NOT NULL,
	`code_hash` binary(32) NOT NULL,
	`issued_at_ms` bigint NOT NULL,
	`used_at_ms` bigint,
	CONSTRAINT `customer_codes_customer_id_purpose_pk` PRIMARY KEY(`customer_id`,`purpose`),
	CONSTRAINT `customer_codes_hash` UNIQUE(`code_hash`)
);
--> statement-breakpoint
CREATE TABLE `person_keys` (
	`key_hash` binary(32) NOT NULL,
	`kind` enum('contact','external') NOT NULL,
	`customer_id` binary(16),
	CONSTRAINT `person_keys_key_hash` PRIMARY KEY(`key_hash`)
);
--> statement-breakpoint
CREATE TABLE `mails` (
	`id` binary(16) NOT NULL,
	`kind` varchar(48) NOT NULL,
	`customer_id` binary(16),
	`address` varchar(254),
	`facts` json NOT NULL,
	`state` enum('due','sent','dropped','given_up') NOT NULL,
	`attempts` int NOT NULL,
	`due_at_ms` bigint NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`last_error` varchar(64),
	CONSTRAINT `mails_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
ALTER TABLE `customers` ADD `contact_since_ms` bigint;--> statement-breakpoint
ALTER TABLE `customers` ADD `external_id` varchar(255);--> statement-breakpoint
ALTER TABLE `customers` ADD `external_since_ms` bigint;--> statement-breakpoint
ALTER TABLE `customers` ADD `reminders_off_at_ms` bigint;--> statement-breakpoint
ALTER TABLE `sales` ADD `cap_per` enum('customer','contact','externalId') DEFAULT 'customer' NOT NULL;--> statement-breakpoint
ALTER TABLE `sales` ADD `requires_contact` boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `person_keys_customer` ON `person_keys` (`customer_id`);--> statement-breakpoint
CREATE INDEX `mails_due` ON `mails` (`state`,`due_at_ms`);--> statement-breakpoint
CREATE INDEX `mails_customer` ON `mails` (`customer_id`);--> statement-breakpoint
CREATE INDEX `mails_age` ON `mails` (`created_at_ms`);--> statement-breakpoint
CREATE INDEX `refresh_tokens_customer` ON `refresh_tokens` (`customer_id`,`family_id`);