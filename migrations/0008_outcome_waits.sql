CREATE TABLE `outcome_waits` (
	`tenant` text NOT NULL,
	`entity` text NOT NULL,
	`predicate` text NOT NULL,
	`evaluation_id` text NOT NULL,
	`action` text NOT NULL,
	`object` text NOT NULL,
	`seq` integer NOT NULL,
	`decided_at` integer NOT NULL,
	`until` integer NOT NULL,
	PRIMARY KEY(`tenant`, `entity`, `predicate`, `evaluation_id`)
);
--> statement-breakpoint
CREATE INDEX `outcome_waits_by_time` ON `outcome_waits` (`until`);