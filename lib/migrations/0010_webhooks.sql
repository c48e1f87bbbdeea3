CREATE TABLE `webhook_deliveries` (
	`endpoint_id` binary(16) NOT NULL,
	`message_id` binary(16) NOT NULL,
	`state` enum('pending','delivered','failed') NOT NULL,
	`round` int NOT NULL,
	`attempts` int NOT NULL,
	`first_attempt_at_ms` bigint,
	`due_at_ms` bigint NOT NULL,
	`last_attempt_at_ms` bigint,
	`last_status` smallint,
	`last_error` varchar(64),
	`last_took_ms` int,
	CONSTRAINT `webhook_deliveries_endpoint_id_message_id_pk` PRIMARY KEY(`endpoint_id`,`message_id`)
);
--> statement-breakpoint
CREATE TABLE `webhook_endpoints` (
	`id` binary(16) NOT NULL,
	`url` varchar(2000) NOT NULL,
	`description` varchar(200) NOT NULL,
	`events` varchar(500) NOT NULL,
	`state` enum('active','paused','switched_off','deleted') NOT NULL,
	`secret_number` int NOT NULL,
	`overlap_until_ms` bigint NOT NULL,
	`failing_since_ms` bigint,
	`switched_off_at_ms` bigint,
	`turn_until_ms` bigint NOT NULL,
	`wake_at_ms` bigint NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`updated_at_ms` bigint NOT NULL,
	CONSTRAINT `webhook_endpoints_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `webhook_messages` (
	`id` binary(16) NOT NULL,
	`type` varchar(64) NOT NULL,
	`body` mediumtext NOT NULL,
	CONSTRAINT `webhook_messages_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `webhook_redeliveries` (
	`id` binary(16) NOT NULL,
	`endpoint_id` binary(16) NOT NULL,
	`scope` enum('failed','all') NOT NULL,
	`since_ms` bigint NOT NULL,
	`until_ms` bigint NOT NULL,
	`after_id` binary(16),
	`ordered` int NOT NULL,
	`started_at_ms` bigint NOT NULL,
	`stepped_at_ms` bigint NOT NULL,
	`finished_at_ms` bigint,
	CONSTRAINT `webhook_redeliveries_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
ALTER TABLE `operator_acts` MODIFY COLUMN `act` varchar(128) NOT NULL;--> statement-breakpoint
CREATE INDEX `webhook_deliveries_due` ON `webhook_deliveries` (`endpoint_id`,`state`,`due_at_ms`);--> statement-breakpoint
CREATE INDEX `webhook_deliveries_log` ON `webhook_deliveries` (`endpoint_id`,`state`,`message_id`);--> statement-breakpoint
CREATE INDEX `webhook_redeliveries_open` ON `webhook_redeliveries` (`finished_at_ms`,`stepped_at_ms`);