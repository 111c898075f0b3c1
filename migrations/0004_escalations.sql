CREATE TABLE `bundles` (
	`task` text PRIMARY KEY NOT NULL,
	`tenant` text NOT NULL,
	`items` text NOT NULL,
	`at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`tenant` text NOT NULL,
	`task` text NOT NULL,
	`webhook` text NOT NULL,
	`event` text NOT NULL,
	`status` text NOT NULL,
	`attempts` integer NOT NULL,
	`error` text,
	`at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `deliveries_by_status` ON `deliveries` (`tenant`,`status`,`at`);--> statement-breakpoint
CREATE TABLE `escalations` (
	`task` text PRIMARY KEY NOT NULL,
	`tenant` text NOT NULL,
	`version` integer NOT NULL,
	`status` text NOT NULL,
	`evaluation_id` text NOT NULL,
	`agent` text NOT NULL,
	`user` text,
	`action` text NOT NULL,
	`resource` text NOT NULL,
	`groups` text NOT NULL,
	`like` text NOT NULL,
	`opened_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`decided_at` integer,
	`standing` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `escalations_by_status` ON `escalations` (`tenant`,`status`,`opened_at`);--> statement-breakpoint
CREATE INDEX `escalations_by_agent` ON `escalations` (`tenant`,`agent`,`action`,`opened_at`);--> statement-breakpoint
CREATE TABLE `request_keys` (
	`key` text PRIMARY KEY NOT NULL,
	`body_hash` text NOT NULL,
	`task` text DEFAULT '' NOT NULL,
	`until` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `request_keys_by_until` ON `request_keys` (`until`);--> statement-breakpoint
CREATE TABLE `webhook_secrets` (
	`tenant` text NOT NULL,
	`webhook` text NOT NULL,
	`id` text NOT NULL,
	`sealed` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	PRIMARY KEY(`tenant`, `webhook`, `id`)
);
