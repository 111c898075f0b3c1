CREATE TABLE `archived` (
	`tenant` text NOT NULL,
	`n` integer NOT NULL,
	`from_at` integer NOT NULL,
	`to_at` integer NOT NULL,
	PRIMARY KEY(`tenant`, `n`)
);
--> statement-breakpoint
CREATE INDEX `archived_by_time` ON `archived` (`tenant`,`from_at`,`to_at`);