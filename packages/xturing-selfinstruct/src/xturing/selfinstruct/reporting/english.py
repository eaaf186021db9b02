"""English words that tell what a sentence asks for, by the part that they play in it.

Lists, and no grammar: they hold what instructions are mostly made of.
"""

DETERMINERS = frozenset(
    "a an the this these those my your his her its our their some any all both each "
    "every either neither no another such what's one two three four five six seven "
    "eight nine ten eleven twelve fifteen twenty fifty hundred thousand several many "
    "few more most other different various multiple couple first last "
    "next top much".split()
)
"""Words that open a noun phrase and name nothing."""

PRONOUNS = frozenset(
    "i you he she it we they me him us them myself yourself itself themselves someone "
    "somebody anyone anybody everyone everybody something anything nothing everything "
    "one's there mine yours ones".split()
)

RECIPIENTS = frozenset("me us him them her someone yourself you".split())
"""Words between a verb and its object that say for whom."""

PREPOSITIONS = frozenset(
    "about above across after against along among around as at before behind below "
    "beneath beside besides between beyond by concerning despite during except for "
    "from in inside into like near of off on onto out outside over per regarding since "
    "than through throughout to toward towards under until up upon using via versus vs "
    "with within without based according".split()
)

CONJUNCTIONS = frozenset(
    "and or but nor so yet that which who whom whose when where why how what if "
    "whether because while although though then while unless plus".split()
)

AUXILIARIES = frozenset(
    "is are was were am be been being do does did has have had can could will would "
    "shall should may might must cannot can't won't don't doesn't isn't aren't".split()
)
FORMS_OF_BE = frozenset("is are was were am be isn't aren't what's who's".split())

SUPPOSING = frozenset("assume imagine pretend say suppose".split())
"""Verbs that only set the scene if a clause follows."""

LABELS = frozenset("answer input note output question".split())
"""Words before a colon that are headings."""

QUESTION_WORDS = frozenset("what which who whom whose when where why how".split())

OPENERS = frozenset(
    "please kindly now then first second third next finally also just again so and "
    "but or well ok okay hi hello hey thanks sure try trying let's lets only instead "
    "maybe otherwise else afterwards lastly step hence thus therefore".split()
)
"""Words before a verb that change nothing about what it asks for."""

PARTICLES = frozenset("up out down off over together away back".split())
"""Words behind a verb that are a part of it."""

LINKING = frozenset({("come", "with"), ("fill", "in"), ("think", "of")})
"""Verbs and prepositions between which and a noun there is no choice."""

FOLLOWERS = frozenset(
    "using involving including containing regarding describing explaining featuring "
    "based given related called named titled entitled located written provided listed "
    "set consisting comparing concerning found made known shown seen taken held".split()
)
"""Participles that say something more of the noun before them."""

ADJECTIVES = frozenset(
    "short long brief concise simple complex detailed good better best bad new old "
    "own main important interesting funny engaging clear common famous different "
    "following given above below same similar appropriate suitable correct possible "
    "original formal informal professional friendly healthy catchy witty meaningful "
    "compelling coherent accurate fun unique single real small large big great easy "
    "hard happy sad strong weak modern specific general basic full complete proper "
    "positive negative neutral true false random relevant persuasive "
    "descriptive".split()
)
ADJECTIVE_ENDINGS = ("ful", "ous", "able", "ible", "less", "ish", "ing", "ed")

VERBS = frozenset(
    "accept accomplish achieve act adapt add address adjust advise affect allow alter "
    "analyse analyze annotate answer append apply appraise approximate argue arrange "
    "ask assemble assert assess assign assist assume attempt attribute author avoid "
    "balance be become begin believe boost brainstorm break bring build buy calculate "
    "call capitalize care carry categorise categorize cause celebrate change "
    "characterize chart check choose cite clarify classify clean close code collect "
    "combine come comment communicate compare compile complete compose compress "
    "compute concatenate conclude condense conduct confirm conjugate connect consider "
    "construct contain continue contrast contribute convert convey convince cook copy "
    "correct count craft create criticize critique cut debate debug decide decipher "
    "declare decode decompose deduce define delete deliver demonstrate deploy derive "
    "describe design detail detect determine develop devise diagnose dictate "
    "differentiate digest discover discuss display distinguish distribute divide do "
    "draft draw eat edit elaborate elicit eliminate embed emphasize employ enhance "
    "ensure entertain enumerate establish estimate evaluate examine exchange execute "
    "exemplify expand explain explore express extend extract fabricate factor fill "
    "filter find finish fix follow forecast form format formulate generate get give "
    "go grade grow guess guide handle happen help highlight hypothesize identify "
    "illustrate imagine implement improve include incorporate increase indicate infer "
    "inform input insert inspect integrate interpret introduce invent investigate "
    "join judge justify keep know label learn leave let link list locate look lower "
    "maintain make manage mark match mean measure mention merge model modify monitor "
    "motivate move multiply name narrate need negotiate note observe obtain offer "
    "open optimize order organise organize outline output paint paraphrase parse pay "
    "perform persuade pick pinpoint plan play plot point portray post practice "
    "predict prepare present prevent print prioritize process produce program promote "
    "pronounce propose protect prove provide pull put quantify quote raise rank rate "
    "reach react read rearrange reason recall receive recite recognize recommend "
    "reconstruct record recreate recycle reduce refer refine reflect reformat "
    "reformulate relate remember remove rename render re-order reorder reorganize "
    "repeat rephrase replace reply report represent request research respond restate "
    "restructure retell retrieve return reverse review revise reword rewrite re-write "
    "rhyme roleplay run save say scan schedule score search see seek select sell send "
    "separate set share shorten show simplify simulate sketch solve sort speak "
    "specify speculate spell split spot start state stay stop structure study submit "
    "substitute suggest sum summarise summarize supply support suppose swap "
    "synthesize tabulate tackle tag take talk teach tell test think trace track train "
    "transcribe transform translate transpose treat trim try turn tweak understand "
    "update upload use utilize validate verify view visit visualize walk want watch "
    "wear weigh win wish work write".split()
)
"""What instructions begin with."""

IRREGULAR_PLURALS = {
    "analyses": "analysis",
    "buses": "bus",
    "children": "child",
    "criteria": "criterion",
    "feet": "foot",
    "halves": "half",
    "hypotheses": "hypothesis",
    "knives": "knife",
    "leaves": "leaf",
    "lives": "life",
    "men": "man",
    "people": "person",
    "quizzes": "quiz",
    "shoes": "shoe",
    "theses": "thesis",
    "wives": "wife",
    "wolves": "wolf",
    "women": "woman",
}
ENDS_IN_IE = frozenset(
    "calories cookies genies hoodies movies pies rookies selfies smoothies ties "
    "zombies".split()
)
NO_PLURALS = frozenset(
    "alias always atlas bias canvas chaos chess christmas cosmos economics ethics "
    "ethos gas lens mathematics news perhaps physics politics series species "
    "statistics texas yes".split()
)
"""Words in -s of which nothing may be cut."""

QUESTION_VERBS = VERBS | frozenset(
    "contradict cost differ earn exist feel function have last lay lead like live "
    "lose run spend stand stay taste travel weigh".split()
)
"""What a question may ask about after its subject."""

PAST = {
    "created": "create",
    "did": "do",
    "discovered": "discover",
    "founded": "found",
    "happened": "happen",
    "invented": "invent",
    "made": "make",
    "painted": "paint",
    "said": "say",
    "sang": "sing",
    "won": "win",
    "wrote": "write",
}
"""Forms in which questions ask who did something."""
NO_ADVERBS = frozenset(
    "ally anomaly assembly belly bully butterfly family italy jelly july lily melody "
    "monopoly reply supply apply multiply comply imply rely rally".split()
)
"""Words in -ly that are no adverbs."""
