ALTER TABLE `purchases` MODIFY COLUMN `payment_token` varchar(200);--> statement-breakpoint
ALTER TABLE `purchases` MODIFY COLUMN `charge_id` varchar(200);--> statement-breakpoint
ALTER TABLE `refund_disputes` MODIFY COLUMN `charge_id` varchar(200) NOT NULL;--> statement-breakpoint
ALTER TABLE `purchases` ADD `action_account` varchar(512);--> statement-breakpoint
ALTER TABLE `refunds` ADD `account` varchar(512);--> statement-breakpoint
ALTER TABLE `sales` ADD `payment_provider` varchar(16);