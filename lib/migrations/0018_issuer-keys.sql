CREATE TABLE `issuer_keys` (
	`issuer` varchar(255) NOT NULL,
	`signing_keys` text NOT NULL,
	`read_at_ms` bigint NOT NULL,
	CONSTRAINT `issuer_keys_issuer` PRIMARY KEY(`issuer`)
);
