package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func BenchmarkConnect(b *testing.B) {
	base := startShared(b)
	must(b, base, "SELECT 1")
	lib, err := loadLibrary(testLibrary(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		handle, err := lib.open("--path=" + shared.dir + "/data")
		if err != nil {
			b.Fatal(err)
		}
		lib.closeConn(handle)
	}
}

func BenchmarkSelect(b *testing.B) {
	base := startShared(b)
	for b.Loop() {
		must(b, base, "SELECT 1")
	}
}

func BenchmarkStream(b *testing.B) {
	base := startShared(b)
	for _, format := range []string{"Native", "JSONEachRow"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				res, err := http.Post(base+"/?default_format="+format, "", strings.NewReader("SELECT number, repeat('x', 500) AS s FROM numbers(100000)"))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}

func BenchmarkInsert(b *testing.B) {
	base := startShared(b)
	must(b, base, "CREATE TABLE bench"+createAB)
	defer must(b, base, "DROP TABLE bench")
	for _, rows := range []int{1000, 250_000} {
		block := nativeBlock(b, 0, rows)
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				if a := send(b, "POST", base, bytes.NewReader(block), "query", "INSERT INTO bench FORMAT Native"); a.Status != http.StatusOK {
					b.Fatal(a.Body)
				}
			}
		})
	}
}
