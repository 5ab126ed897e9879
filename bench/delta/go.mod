module github.com/theseus-go/theseus/bench/delta

go 1.26.0

require github.com/theseus-go/theseus v0.0.0

replace github.com/theseus-go/theseus => ../..
