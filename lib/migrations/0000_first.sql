CREATE TABLE `products` (
	`id` binary(16) NOT NULL,
	`sku` varchar(64) NOT NULL,
	`name` varchar(200) NOT NULL,
	`description` text NOT NULL,
	`price_minor` bigint NOT NULL,
	`currency` char(3) NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`updated_at_ms` bigint NOT NULL,
	CONSTRAINT `products_id` PRIMARY KEY(`id`),
	CONSTRAINT `products_sku` UNIQUE(`sku`),
	CONSTRAINT `products_price` CHECK(`products`.`price_minor` >= 0)
);
--> statement-breakpoint
CREATE TABLE `outbox` (
	`id` binary(16) NOT NULL,
	`detail_type` varchar(64) NOT NULL,
	`detail` mediumtext NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `outbox_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `customers` (
	`id` binary(16) NOT NULL,
	`email` varchar(254) NOT NULL,
	`name` varchar(100) NOT NULL,
	`password_hash` varchar(255) NOT NULL,
	`role` enum('customer','operator') NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `customers_id` PRIMARY KEY(`id`),
	CONSTRAINT `customers_email` UNIQUE(`email`)
);
--> statement-breakpoint
CREATE TABLE `refresh_tokens` (
	`token_hash` binary(32) NOT NULL,
	`family_id` binary(16) NOT NULL,
	`customer_id` binary(16) NOT NULL,
	`expires_at_ms` bigint NOT NULL,
	`used_at_ms` bigint,
	`revoked_at_ms` bigint,
	CONSTRAINT `refresh_tokens_token_hash` PRIMARY KEY(`token_hash`)
);
--> statement-breakpoint
CREATE TABLE `ledger` (
	`subject_id` binary(16) NOT NULL,
	`kind` enum('ALLOCATE','RELEASE','SELL','ADJUST') NOT NULL,
	`sale_id` binary(16) NOT NULL,
	`units` int NOT NULL,
	`at_ms` bigint NOT NULL,
	CONSTRAINT `ledger_subject_id_kind_pk` PRIMARY KEY(`subject_id`,`kind`)
);
--> statement-breakpoint
CREATE TABLE `notifications` (
	`id` binary(16) NOT NULL,
	`customer_id` binary(16) NOT NULL,
	`subject_id` binary(16) NOT NULL,
	`version` int NOT NULL,
	`kind` varchar(48) NOT NULL,
	`facts` json NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`read_at_ms` bigint,
	CONSTRAINT `notifications_id` PRIMARY KEY(`id`),
	CONSTRAINT `notifications_once` UNIQUE(`subject_id`,`version`,`kind`)
);
--> statement-breakpoint
CREATE TABLE `purchase_items` (
	`purchase_id` binary(16) NOT NULL,
	`reservation_id` binary(16) NOT NULL,
	`sale_id` binary(16) NOT NULL,
	`units` int NOT NULL,
	`price_minor` bigint NOT NULL,
	CONSTRAINT `purchase_items_purchase_id_reservation_id_pk` PRIMARY KEY(`purchase_id`,`reservation_id`),
	CONSTRAINT `purchase_items_units` CHECK(`purchase_items`.`units` > 0)
);
--> statement-breakpoint
CREATE TABLE `purchases` (
	`id` binary(16) NOT NULL,
	`customer_id` binary(16) NOT NULL,
	`state` enum('requested','unknown','captured','declined','refunding','refunded') NOT NULL,
	`amount_minor` bigint NOT NULL,
	`currency` char(3) NOT NULL,
	`payment_token` varchar(128),
	`fingerprint` char(64) NOT NULL,
	`charge_id` varchar(64),
	`reason` varchar(64),
	`attempts` int NOT NULL,
	`version` int NOT NULL,
	`created_at_ms` bigint NOT NULL,
	`updated_at_ms` bigint NOT NULL,
	CONSTRAINT `purchases_id` PRIMARY KEY(`id`),
	CONSTRAINT `purchases_amount` CHECK(`purchases`.`amount_minor` >= 0)
);
--> statement-breakpoint
CREATE TABLE `reservations` (
	`id` binary(16) NOT NULL,
	`sale_id` binary(16) NOT NULL,
	`customer_id` binary(16) NOT NULL,
	`nth` int NOT NULL,
	`ticket` bigint NOT NULL,
	`quantity` int NOT NULL,
	`at_least` int NOT NULL,
	`state` enum('requested','allocated','waitlisted','rejected','purchased','cancelled','expired','refunded') NOT NULL,
	`units` int NOT NULL,
	`reason` varchar(32),
	`deadline_ms` bigint,
	`purchase_id` binary(16),
	`version` int NOT NULL,
	`accepted_at_ms` bigint NOT NULL,
	`decided_at_ms` bigint NOT NULL,
	CONSTRAINT `reservations_id` PRIMARY KEY(`id`),
	CONSTRAINT `reservations_nth` UNIQUE(`customer_id`,`sale_id`,`nth`),
	CONSTRAINT `reservations_quantity` CHECK(`reservations`.`at_least` >= 1 and `reservations`.`quantity` >= `reservations`.`at_least`),
	CONSTRAINT `reservations_units` CHECK(`reservations`.`units` >= 0 and `reservations`.`units` <= `reservations`.`quantity`)
);
--> statement-breakpoint
CREATE TABLE `waitlist` (
	`sale_id` binary(16) NOT NULL,
	`ticket` bigint NOT NULL,
	`reservation_id` binary(16) NOT NULL,
	`deadline_ms` bigint,
	CONSTRAINT `waitlist_sale_id_ticket_reservation_id_pk` PRIMARY KEY(`sale_id`,`ticket`,`reservation_id`)
);
--> statement-breakpoint
CREATE TABLE `sales` (
	`id` binary(16) NOT NULL,
	`product_id` binary(16) NOT NULL,
	`name` varchar(200) NOT NULL,
	`mode` enum('fifo') NOT NULL,
	`status` enum('active','paused','cancelled') NOT NULL,
	`phase` enum('scheduled','reserving','reserved','purchasing','closed') NOT NULL,
	`reminded_at_ms` bigint,
	`price_minor` bigint NOT NULL,
	`currency` char(3) NOT NULL,
	`cap_per_customer` int NOT NULL,
	`waitlist_size` int NOT NULL,
	`offer_life_ms` bigint NOT NULL,
	`reserve_opens_at_ms` bigint NOT NULL,
	`reserve_closes_at_ms` bigint NOT NULL,
	`purchase_opens_at_ms` bigint NOT NULL,
	`purchase_closes_at_ms` bigint NOT NULL,
	`allotment` int NOT NULL,
	`available` int NOT NULL,
	`allocated` int NOT NULL,
	`sold` int NOT NULL,
	`waitlisted` int NOT NULL,
	`epoch` int NOT NULL,
	`version` bigint NOT NULL,
	`fence` bigint NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `sales_id` PRIMARY KEY(`id`),
	CONSTRAINT `sales_stock_adds_up` CHECK(`sales`.`available` + `sales`.`allocated` + `sales`.`sold` = `sales`.`allotment`),
	CONSTRAINT `sales_stock_not_negative` CHECK(`sales`.`available` >= 0 and `sales`.`allocated` >= 0 and `sales`.`sold` >= 0 and `sales`.`waitlisted` >= 0),
	CONSTRAINT `sales_waitlist_bounded` CHECK(`sales`.`waitlisted` <= `sales`.`waitlist_size`),
	CONSTRAINT `sales_times_in_order` CHECK(`sales`.`reserve_opens_at_ms` < `sales`.`reserve_closes_at_ms` and `sales`.`purchase_opens_at_ms` < `sales`.`purchase_closes_at_ms` and `sales`.`reserve_opens_at_ms` <= `sales`.`purchase_opens_at_ms`)
);
--> statement-breakpoint
CREATE INDEX `refresh_tokens_family` ON `refresh_tokens` (`family_id`);--> statement-breakpoint
CREATE INDEX `refresh_tokens_expiry` ON `refresh_tokens` (`expires_at_ms`);--> statement-breakpoint
CREATE INDEX `notifications_customer` ON `notifications` (`customer_id`,`id`);--> statement-breakpoint
CREATE INDEX `purchase_items_reservation` ON `purchase_items` (`reservation_id`);--> statement-breakpoint
CREATE INDEX `purchases_customer` ON `purchases` (`customer_id`,`created_at_ms`);--> statement-breakpoint
CREATE INDEX `purchases_open` ON `purchases` (`state`,`updated_at_ms`);--> statement-breakpoint
CREATE INDEX `waitlist_deadline` ON `waitlist` (`sale_id`,`deadline_ms`);--> statement-breakpoint
CREATE INDEX `sales_product` ON `sales` (`product_id`);--> statement-breakpoint
CREATE INDEX `sales_phase` ON `sales` (`phase`,`purchase_closes_at_ms`);