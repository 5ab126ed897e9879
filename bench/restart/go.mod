module github.com/theseus-go/theseus/bench/restart

go 1.26.0

require (
	github.com/cloudflare/tableflip v1.2.3
	github.com/theseus-go/theseus v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/theseus-go/theseus => ../..
