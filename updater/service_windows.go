package updater

// nextStart is when a running service takes what was installed.
const nextStart = "at its next restart"
