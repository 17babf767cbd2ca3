package queryapi

import (
	"testing"

	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
)

func BenchmarkPages(b *testing.B) {
	client := testtrail.Open(b)
	testtrail.FillEvents(b, client, 1_000_000)
	s := newService(b, Options{ClickHouse: client})
	ctx, all := b.Context(), Everything("bench")
	for _, query := range []string{"", "order=asc", "action=auth.login&outcome=failure", "actor=u77", "tenant=acme", "limit=1000", "search=record"} {
		b.Run("first/"+query, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Events(ctx, all, parameters(b, query)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("deep/"+query, func(b *testing.B) {
			// Each page begins at another place in the middle, so that no cache of ClickHouse has seen it.
			v := parameters(b, query)
			n := 0
			for b.Loop() {
				n++
				search, err := parseEventSearch(all, v, s.opt.Now())
				if err != nil {
					b.Fatal(err)
				}
				v.Set("cursor", search.next(cursor{at: 1767270000_000000 + int64(n)*1_234_567}))
				page, err := s.Events(ctx, all, v)
				if err != nil {
					b.Fatal(err)
				}
				if len(page.Items) == 0 || page.Next == "" {
					b.Fatal("the page is empty")
				}
				v.Del("cursor")
			}
		})
	}
}
