CREATE TABLE `due_reminders` (
	`sale_id` binary(16) NOT NULL,
	`deadline_ms` bigint NOT NULL,
	`at_least` int NOT NULL,
	`ticket` bigint NOT NULL,
	`reservation_id` binary(16) NOT NULL,
	CONSTRAINT `due_reminders_sale_id` PRIMARY KEY(`sale_id`)
);
