CREATE TABLE `grants` (
	`reservation_id` binary(16) NOT NULL,
	`sale_id` binary(16) NOT NULL,
	`units` int NOT NULL,
	`reason` varchar(500) NOT NULL,
	`granted_at_ms` bigint NOT NULL,
	CONSTRAINT `grants_reservation_id` PRIMARY KEY(`reservation_id`),
	CONSTRAINT `grants_units` CHECK(`grants`.`units` > 0)
);
