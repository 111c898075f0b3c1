CREATE TABLE `receipts` (
	`id` integer PRIMARY KEY NOT NULL,
	`chain` text NOT NULL,
	`seq` integer NOT NULL,
	`tenant` text NOT NULL,
	`hash` text NOT NULL,
	`prev` text NOT NULL,
	`kind` text NOT NULL,
	`at` integer NOT NULL,
	`body_commit` text NOT NULL,
	`body` text NOT NULL,
	`secrets` text NOT NULL,
	`agent` text,
	`evaluation_id` text,
	`caller` text,
	`user` text,
	`action` text,
	`resource` text,
	`outcome` text,
	`reason` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `receipts_by_link` ON `receipts` (`chain`,`seq`);--> statement-breakpoint
CREATE UNIQUE INDEX `receipts_by_evaluation` ON `receipts` (`evaluation_id`);--> statement-breakpoint
CREATE INDEX `receipts_by_time` ON `receipts` (`tenant`,`at`);--> statement-breakpoint
CREATE INDEX `receipts_by_agent` ON `receipts` (`tenant`,`agent`,`at`);--> statement-breakpoint
CREATE INDEX `receipts_by_outcome` ON `receipts` (`tenant`,`outcome`,`at`);--> statement-breakpoint
CREATE TABLE `activations` (
	`tenant` text NOT NULL,
	`seq` integer NOT NULL,
	`hash` text NOT NULL,
	`pushed_at` text NOT NULL,
	`pushed_by` text NOT NULL,
	`note` text,
	PRIMARY KEY(`tenant`, `seq`)
);
