CREATE TABLE `api_keys` (
	`id` binary(16) NOT NULL,
	`name` varchar(100) NOT NULL,
	`scopes` varchar(500) NOT NULL,
	`secret_hash` binary(32) NOT NULL,
	`previous_hash` binary(32),
	`previous_until_ms` bigint,
	`expires_at_ms` bigint NOT NULL,
	`revoked_at_ms` bigint,
	`last_used_at_ms` bigint,
	`created_by` binary(16) NOT NULL,
	`created_at_ms` bigint NOT NULL,
	CONSTRAINT `api_keys_id` PRIMARY KEY(`id`)
);
