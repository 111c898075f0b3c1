CREATE TABLE `fact_waits` (
	`tenant` text NOT NULL,
	`entity` text NOT NULL,
	`predicate` text NOT NULL,
	`evaluation_id` text NOT NULL,
	`object` text NOT NULL,
	`until` integer NOT NULL,
	PRIMARY KEY(`tenant`, `entity`, `predicate`, `evaluation_id`)
);
--> statement-breakpoint
CREATE INDEX `fact_waits_by_evaluation` ON `fact_waits` (`tenant`,`evaluation_id`);--> statement-breakpoint
CREATE INDEX `fact_waits_by_time` ON `fact_waits` (`until`);--> statement-breakpoint
CREATE TABLE `facts` (
	`n` integer PRIMARY KEY NOT NULL,
	`tenant` text NOT NULL,
	`id` text NOT NULL,
	`hash` text NOT NULL,
	`source` text NOT NULL,
	`entity` text NOT NULL,
	`predicate` text NOT NULL,
	`value` text NOT NULL,
	`observed_at` integer NOT NULL,
	`valid_until` integer NOT NULL,
	`evidence` text,
	`supersedes` text,
	`recorded_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `facts_by_id` ON `facts` (`tenant`,`id`);--> statement-breakpoint
CREATE INDEX `facts_by_entity` ON `facts` (`tenant`,`entity`,`predicate`,`source`,`observed_at`);--> statement-breakpoint
CREATE INDEX `facts_by_superseded` ON `facts` (`tenant`,`supersedes`) WHERE supersedes IS NOT NULL;