package filter

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// Case folding and the repair of invalid UTF-8 do what ClickHouse's caseFoldUTF8 and toValidUTF8 do; the differential test compares them over all
// of Unicode. Functions named …Fold take a value of an event and the folded text of the filter, and allocate only for values beyond ASCII.

var caser = cases.Fold() // stateless

// foldCase folds s completely: two texts that differ in case only give the same. The result is valid UTF-8.
func foldCase(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return strings.Map(foldCherokee, caser.String(toValid(s)))
}

// foldCherokee mends x/text, which swaps the two cases of Cherokee. Unicode folds them to the capitals, which are the older ones.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xAB70 && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case r >= 0x13F8 && r <= 0x13FD:
		return r - 0x13F8 + 0x13F0
	}
	return r
}

// hasCase says whether folding can make a difference to a comparison with s.
func hasCase(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || lower(s[i]) != s[i] || s[i] >= 'a' && s[i] <= 'z' {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lower is the small letter of an ASCII capital.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// equalLower says whether the ASCII letters of s made small give folded.
func equalLower(s, folded string) bool {
	if len(s) != len(folded) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != folded[i] {
			return false
		}
	}
	return true
}

func equalFold(s, folded string) bool {
	if isASCII(s) {
		return equalLower(s, folded)
	}
	return foldCase(s) == folded
}

func hasPrefixFold(s, folded string) bool {
	if isASCII(s) {
		return len(s) >= len(folded) && equalLower(s[:len(folded)], folded)
	}
	return strings.HasPrefix(foldCase(s), folded)
}

func hasSuffixFold(s, folded string) bool {
	if isASCII(s) {
		return len(s) >= len(folded) && equalLower(s[len(s)-len(folded):], folded)
	}
	return strings.HasSuffix(foldCase(s), folded)
}

func containsFold(s, folded string) bool {
	if !isASCII(s) {
		return strings.Contains(foldCase(s), folded)
	}
	for i := 0; i+len(folded) <= len(s); i++ {
		if lower(s[i]) == folded[0] && equalLower(s[i:i+len(folded)], folded) {
			return true
		}
	}
	return false
}

// toValid replaces each run of bytes that are not UTF-8 by one U+FFFD. As in ClickHouse, a leading byte that announces more bytes than are left
// takes the rest of the text along.
func toValid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	bad := false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r != utf8.RuneError || size > 1:
			b.WriteString(s[i : i+size])
			bad = false
			i += size
			continue
		case !bad:
			b.WriteRune(utf8.RuneError)
			bad = true
		}
		if i+sequenceLength(s[i]) > len(s) {
			break
		}
		i++
	}
	return b.String()
}

// sequenceLength is how many bytes a leading byte announces.
func sequenceLength(c byte) int {
	switch {
	case c >= 0xF8 || c < 0xC0:
		return 1
	case c >= 0xF0:
		return 4
	case c >= 0xE0:
		return 3
	}
	return 2
}
