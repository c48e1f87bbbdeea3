ALTER TABLE `reservations` ADD `part_of` binary(16);--> statement-breakpoint
ALTER TABLE `reservations` ADD `asked_quantity` int;--> statement-breakpoint
ALTER TABLE `reservations` ADD `asked_at_least` int;