module github.com/theseus-go/theseus/bench/swap

go 1.26.0

require (
	github.com/minio/selfupdate v0.6.0
	github.com/theseus-go/theseus v0.0.0
)

require (
	aead.dev/minisign v0.3.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/theseus-go/theseus => ../..
