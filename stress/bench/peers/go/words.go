// As words.c.
package main

import (
	"bytes"
	"math"
)

const bucketsMin = 64

type entry struct {
	next        *entry
	word        string
	hash, count uint64
}

type table struct {
	buckets []*entry
	entries uint64
}

// --- the text, made twice: its length is known after the first time ---

const syllables = "bacedifogukaleminopurasetivowuxe"

func spell(to []byte, rank uint64) []byte {
	for {
		to = append(to, syllables[rank%16*2:rank%16*2+2]...)
		rank /= 16
		if rank == 0 {
			return to
		}
		rank--
	}
}

func rankDraw(random *random, vocabulary uint64) uint64 {
	part := float64(random.next()>>11) * 0x1p-53
	return uint64(math.Exp(part * math.Log(float64(vocabulary))))
}

func textMake(words, vocabulary uint64) (text []byte, written []uint32) {
	written = make([]uint32, vocabulary+1)
	var word []byte
	length, random := 0, randomOf(0)
	for i := uint64(0); i < words; i++ {
		rank := rankDraw(&random, vocabulary)
		written[rank]++
		word = spell(word[:0], rank)
		length += len(word) + 1
	}
	text = make([]byte, 0, length)
	random = randomOf(0)
	for len(text) < length {
		text = append(spell(text, rankDraw(&random, vocabulary)), ' ')
	}
	return text, written
}

// --- the count ---

func hashOf(word string) uint64 {
	hash := uint64(0xcbf29ce484222325)
	for i := 0; i < len(word); i++ {
		hash = (hash ^ uint64(word[i])) * 0x100000001b3
	}
	return hash ^ hash>>32
}

func (t *table) bucket(hash uint64) **entry { return &t.buckets[hash&uint64(len(t.buckets)-1)] }

func (t *table) find(word string, hash uint64) *entry {
	found := *t.bucket(hash)
	for found != nil && (found.hash != hash || found.word != word) {
		found = found.next
	}
	return found
}

func (t *table) resize(size int) {
	old := t.buckets
	t.buckets = make([]*entry, size)
	for _, each := range old {
		for each != nil {
			bucket, next := t.bucket(each.hash), each.next
			each.next = *bucket
			*bucket = each
			each = next
		}
	}
}

func (t *table) add(word string, hash uint64) {
	if t.entries == uint64(len(t.buckets)) {
		t.resize(2 * len(t.buckets))
	}
	t.entries++
	bucket := t.bucket(hash)
	*bucket = &entry{*bucket, word, hash, 1}
}

func (t *table) count(word string) {
	hash := hashOf(word)
	if found := t.find(word, hash); found != nil {
		found.count++
	} else {
		t.add(word, hash)
	}
}

func wordsCount(text []byte) *table {
	t := &table{buckets: make([]*entry, bucketsMin)}
	for len(text) != 0 {
		space := bytes.IndexByte(text, ' ')
		t.count(string(text[:space]))
		text = text[space+1:]
	}
	return t
}

func (t *table) check(written []uint32) {
	distinct := uint64(0)
	for rank, count := range written {
		if count == 0 {
			continue
		}
		word := string(spell(nil, uint64(rank)))
		found := t.find(word, hashOf(word))
		must(found != nil && found.count == uint64(count), "a word is not counted right")
		distinct++
	}
	must(distinct == t.entries, "words are lost")
}

func main() {
	words, vocabulary := uint64(4*1000*1000), uint64(300*1000)
	argumentsParse(map[string]*uint64{"words": &words, "vocabulary": &vocabulary})
	text, written := textMake(words, vocabulary)
	measureBegin()
	t := wordsCount(text)
	measureEnd("words")
	t.check(written)
	resultCount("text_bytes", uint64(len(text)))
	resultCount("distinct", t.entries)
	resultEnd()
}
