// Package wine drives hello.exe under Wine: what Windows does otherwise than Unix (a running file can be renamed and not
// removed, a flush wants the right to write, a service is started anew and not handed over) is then run and not only
// compiled. It is no Windows: sharing violations, NTFS and virus scanners are not in it.
//
// Its tests are built with the tag wine only, because Wine is some hundred megabytes:
//
//	apt-get install --no-install-recommends wine wine64 gcc-mingw-w64-x86-64
//	go test -count=1 -tags wine ./internal/wine
package wine
