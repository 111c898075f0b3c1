ALTER TABLE `delegations` ADD `secrets` text DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE `revocations` ADD `event_before` integer;--> statement-breakpoint
UPDATE `revocations` SET `event_before` = `before`;
