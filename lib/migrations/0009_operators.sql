CREATE TABLE `operator_acts` (
	`id` binary(16) NOT NULL,
	`at_ms` bigint NOT NULL,
	`operator_id` binary(16),
	`act` varchar(64) NOT NULL,
	`subject_id` binary(16),
	`asked` mediumtext NOT NULL,
	`before_json` mediumtext,
	`after_json` mediumtext,
	`correlation_id` varchar(64),
	CONSTRAINT `operator_acts_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `grants` (
	`reservation_id` binary(16) NOT NULL,
	`sale_id` binary(16) NOT NULL,
	`units` int NOT NULL,
	`reason` varchar(500) NOT NULL,
	`granted_at_ms` bigint NOT NULL,
	CONSTRAINT `grants_reservation_id` PRIMARY KEY(`reservation_id`),
	CONSTRAINT `grants_units` CHECK(`grants`.`units` > 0)
);
--> statement-breakpoint
ALTER TABLE `customers` MODIFY COLUMN `role` enum('customer','operator','viewer','admin') NOT NULL;--> statement-breakpoint
CREATE INDEX `operator_acts_operator` ON `operator_acts` (`operator_id`,`id`);--> statement-breakpoint
CREATE INDEX `operator_acts_subject` ON `operator_acts` (`subject_id`,`id`);--> statement-breakpoint
CREATE INDEX `customers_role` ON `customers` (`role`,`id`);--> statement-breakpoint
CREATE INDEX `purchases_charge` ON `purchases` (`charge_id`);--> statement-breakpoint
CREATE TRIGGER `operator_acts_unchanged` BEFORE UPDATE ON `operator_acts` FOR EACH ROW
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is never changed';--> statement-breakpoint
CREATE TRIGGER `operator_acts_undeleted` BEFORE DELETE ON `operator_acts` FOR EACH ROW
	SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is never deleted';
