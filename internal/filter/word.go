package filter

import (
	"iter"
	"unicode/utf8"
)

// isWordByte says what words are made of: the tokenizer splitByNonAlpha of the text index on the message.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// words yields the words of text in their order.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(text); i++ {
			start := i
			for i < len(text) && isWordByte(text[i]) {
				i++
			}
			if i > start && !yield(text[start:i]) {
				return
			}
		}
	}
}

// isWord says whether text is exactly one word.
func isWord(text string) bool {
	for i := range len(text) {
		if !isWordByte(text[i]) {
			return false
		}
	}
	return text != ""
}

// hasWord says whether one of the words of text is folded once its ASCII capitals are made small.
func hasWord(text, folded string) bool {
	for word := range words(text) {
		if equalLower(word, folded) {
			return true
		}
	}
	return false
}
