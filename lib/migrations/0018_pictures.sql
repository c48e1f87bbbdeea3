CREATE TABLE `product_pictures` (
	`id` binary(16) NOT NULL,
	`product_id` binary(16) NOT NULL,
	`type` varchar(32) NOT NULL,
	`bytes` int NOT NULL,
	`alt_en` varchar(300) NOT NULL,
	`alt_ko` varchar(300) NOT NULL,
	`state` enum('awaited','shown') NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `product_pictures_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE INDEX `product_pictures_product` ON `product_pictures` (`product_id`,`id`);