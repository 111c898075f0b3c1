CREATE INDEX `escalations_by_user` ON `escalations` (`tenant`,`user`);--> statement-breakpoint
CREATE INDEX `escalations_by_resource` ON `escalations` (`tenant`,`resource`);