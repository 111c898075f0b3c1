CREATE TABLE `receipt_policies` (
	`tenant` text NOT NULL,
	`policy` text NOT NULL,
	`at` integer NOT NULL,
	`receipt` integer NOT NULL,
	PRIMARY KEY(`tenant`, `policy`, `at`, `receipt`)
);
--> statement-breakpoint
CREATE INDEX `receipts_by_user` ON `receipts` (`tenant`,`user`,`at`);--> statement-breakpoint
CREATE INDEX `receipts_by_action` ON `receipts` (`tenant`,`action`,`at`);--> statement-breakpoint
CREATE INDEX `receipts_by_resource` ON `receipts` (`tenant`,`resource`,`at`);--> statement-breakpoint
CREATE INDEX `receipts_by_reason` ON `receipts` (`tenant`,`reason`,`at`);