CREATE TABLE `subject_keys` (
	`tenant` text NOT NULL,
	`subject` text NOT NULL,
	`sealed` text NOT NULL,
	`at` integer NOT NULL,
	PRIMARY KEY(`tenant`, `subject`)
);
