CREATE TABLE `delegations` (
	`tenant` text NOT NULL,
	`id` text NOT NULL,
	`parent` text,
	`agent` text NOT NULL,
	`user` text,
	`holder` text NOT NULL,
	`lineage` text NOT NULL,
	`grants` text NOT NULL,
	`jkt` text NOT NULL,
	`issued_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	PRIMARY KEY(`tenant`, `id`)
);
--> statement-breakpoint
CREATE INDEX `delegations_by_expiry` ON `delegations` (`tenant`,`expires_at`);--> statement-breakpoint
CREATE TABLE `revocations` (
	`tenant` text NOT NULL,
	`key` text NOT NULL,
	`before` integer,
	`at` integer NOT NULL,
	`by` text NOT NULL,
	`reason` text NOT NULL,
	PRIMARY KEY(`tenant`, `key`)
);
