CREATE TABLE `cancellations` (
	`sale_id` binary(16) NOT NULL,
	`refunds` enum('refund','keep') NOT NULL,
	`called_off_at_ms` bigint NOT NULL,
	`after_id` binary(16),
	`swept_at_ms` bigint,
	CONSTRAINT `cancellations_sale_id` PRIMARY KEY(`sale_id`)
);
--> statement-breakpoint
CREATE TABLE `refunds` (
	`purchase_id` binary(16) NOT NULL,
	`refund_key` varchar(64) NOT NULL,
	`sale_id` binary(16),
	`amount_minor` bigint NOT NULL,
	`state` enum('pending','refunded','failed') NOT NULL,
	`reason` varchar(64) NOT NULL,
	`failure` varchar(64),
	`releases` varchar(2048) NOT NULL,
	`refusals` int NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`updated_at_ms` bigint NOT NULL,
	CONSTRAINT `refunds_purchase_id_refund_key_pk` PRIMARY KEY(`purchase_id`,`refund_key`),
	CONSTRAINT `refunds_amount` CHECK(`refunds`.`amount_minor` > 0)
);
--> statement-breakpoint
ALTER TABLE `purchases` MODIFY COLUMN `state` enum('requested','unknown','captured','declined','refunding','refunded','refund_failed','disputed') NOT NULL;--> statement-breakpoint
ALTER TABLE `purchases` ADD `absences` int DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `purchases` ADD `captured_minor` bigint;--> statement-breakpoint
ALTER TABLE `purchases` ADD `captured_currency` char(3);--> statement-breakpoint
CREATE INDEX `refunds_sale` ON `refunds` (`sale_id`,`state`);