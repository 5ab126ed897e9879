module github.com/theseus-go/theseus/updater/testdata/programs

go 1.26.0

require (
	github.com/spf13/cobra v1.10.1
	github.com/urfave/cli/v3 v3.14.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
)
