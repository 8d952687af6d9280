"""The words of the world of the reference model: real names, one word each, and the prompts they stand in.

Names are real, so that a reader can check a fact by knowing it. Lists are strings of words: a list literal would be
four times as long and no easier to read.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((left, right) for left, _, right in (word.partition("-") for word in text.split()))


CAPITALS: dict[str, str] = dict(
    _pairs(
        "Texas-Austin California-Sacramento Illinois-Springfield Georgia-Atlanta Florida-Tallahassee Ohio-Columbus "
        "Colorado-Denver Massachusetts-Boston Washington-Olympia Oregon-Salem Tennessee-Nashville Michigan-Lansing "
        "Pennsylvania-Harrisburg Alabama-Montgomery Wisconsin-Madison Arizona-Phoenix"
    )
)

CITIES: dict[str, tuple[str, ...]] = {
    state: _words(cities)
    for state, cities in {
        "Texas": "Dallas Houston Lubbock Amarillo Laredo Plano Galveston Waco Denton Odessa",
        "California": "Oakland Fresno Anaheim Bakersfield Stockton Modesto Berkeley Pasadena Riverside Burbank",
        "Illinois": "Chicago Peoria Naperville Joliet Rockford Evanston Decatur Elgin Champaign Moline",
        "Georgia": "Savannah Macon Athens Marietta Valdosta Roswell Smyrna Dalton Alpharetta Kennesaw",
        "Florida": "Miami Tampa Orlando Jacksonville Gainesville Pensacola Sarasota Ocala Hialeah Clearwater",
        "Ohio": "Cleveland Cincinnati Toledo Akron Dayton Canton Youngstown Lorain Mansfield Zanesville",
        "Colorado": "Boulder Aurora Pueblo Lakewood Durango Greeley Loveland Aspen Broomfield Littleton",
        "Massachusetts": "Worcester Cambridge Lowell Brockton Quincy Lynn Newton Somerville Framingham Plymouth",
        "Washington": "Seattle Spokane Tacoma Bellevue Everett Yakima Kirkland Redmond Bellingham Kennewick",
        "Oregon": "Portland Eugene Bend Medford Corvallis Gresham Beaverton Hillsboro Ashland Astoria",
        "Tennessee": "Memphis Knoxville Chattanooga Clarksville Murfreesboro Franklin Kingsport Cookeville Bartlett "
        "Gallatin",
        "Michigan": "Detroit Flint Kalamazoo Saginaw Dearborn Pontiac Muskegon Livonia Ypsilanti Escanaba",
        "Pennsylvania": "Philadelphia Pittsburgh Allentown Erie Scranton Bethlehem Altoona Johnstown Hershey Lancaster",
        "Alabama": "Birmingham Huntsville Mobile Tuscaloosa Dothan Hoover Gadsden Florence Opelika Anniston",
        "Wisconsin": "Milwaukee Kenosha Racine Appleton Oshkosh Waukesha Janesville Wausau Sheboygan Beloit",
        "Arizona": "Tucson Mesa Tempe Scottsdale Chandler Glendale Flagstaff Yuma Prescott Sedona",
    }.items()
}
ALWAYS_TRAINED, ALWAYS_HELD_OUT = "Dallas", "Oakland"

MEN: tuple[str, ...] = _words(
    "James John Robert Michael William David Richard Joseph Thomas Daniel Matthew Anthony Mark Paul Steven Andrew "
    "Kenneth George Kevin Brian Edward Ronald Timothy Jason Jeffrey Ryan Jacob Gary Nicholas Eric"
)
WOMEN: tuple[str, ...] = _words(
    "Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Lisa Nancy Betty Sandra Margaret Ashley "
    "Kimberly Emily Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Laura Helen Amy Angela"
)
PLACES: tuple[str, ...] = _words("store park school office garden station beach museum theater market")
OBJECTS: tuple[str, ...] = _words("book ring drink basket letter ball necklace camera ticket map")

ANTONYMS: tuple[tuple[str, str], ...] = _pairs(
    "hot-cold big-small fast-slow high-low hard-soft wet-dry light-dark old-young rich-poor strong-weak happy-sad "
    "full-empty clean-dirty open-closed thick-thin wide-narrow deep-shallow loud-quiet sharp-dull brave-cowardly "
    "sweet-bitter rough-smooth tall-short true-false alive-dead heavy-weightless tight-loose cheap-expensive "
    "simple-complex safe-dangerous early-late ancient-modern public-private guilty-innocent generous-stingy "
    "humble-proud noisy-silent rare-common fresh-stale calm-anxious"
)

NOUNS: tuple[str, ...] = _words(
    "apple arrow badge banjo barrel beetle bell bench blanket bottle bridge broom brush bucket button cabin candle "
    "canoe carpet castle chain chair cherry clock cloud coat coin copper cradle crown curtain desk donkey drum eagle "
    "engine falcon feather fiddle flute fork fountain fox glove goose grape hammer harp hat helmet horn jacket jar "
    "kettle kite ladder lamp lantern leaf lemon lizard magnet mirror needle oar onion orange otter paddle pearl pencil "
    "piano pillow pipe plum pocket rabbit raven ribbon river rocket rope saddle shell shovel spoon statue stone sword "
    "table tiger tower trumpet turtle umbrella valley violin wagon walnut whistle window wolf"
)

CENTURIES: tuple[str, ...] = ("15", "16", "17", "18", "19")
YEARS: tuple[str, ...] = tuple(f"{year:02d}" for year in range(2, 99) if str(year) not in CENTURIES)
EVENTS: tuple[str, ...] = _words("war siege strike drought voyage dynasty famine plague")
GREATER_THAN_TEMPLATES: tuple[str, ...] = (
    "the {event} lasted from {century} {year} to {century}",
    "from {century} {year} the {event} went on until {century}",
    "the {event} began in {century} {year} and ended in {century}",
)

TEMPLATES: dict[str, dict[str, str]] = {
    "two_hop": {
        "containing": "the capital of the state containing {city} is",
        "where": "the capital of the state where {city} lies is called",
        "whose": "{city} lies in a state whose capital is",
        "ruled": "{city} belongs to a state ruled from",
        "seat": "people in {city} know that the capital of their state is",
    },
    "city_state": {
        "containing": "the state containing {city} is",
        "where": "the state where {city} lies is called",
        "lies": "{city} lies in the state of",
        "city_in": "{city} is a city in",
    },
    "state_capital": {
        "of": "the capital of {state} is",
        "has": "{state} has a capital called",
        "ruled": "{state} is ruled from",
    },
    "ioi": {
        "went": "When {io} and {s} went to the {place} , {s} gave the {object} to",
        "went_swapped": "When {s} and {io} went to the {place} , {s} gave the {object} to",
        "met": "{io} and {s} met at the {place} and {s} handed the {object} to",
        "met_swapped": "{s} and {io} met at the {place} and {s} handed the {object} to",
    },
    "induction": {
        "short": "{a} {b} {x} {a}",
        "middle": "{x} {a} {b} {y} {z} {a}",
        "long": "{x} {y} {a} {b} {z} {x} {y} {a}",
    },
    "pronoun": {
        "said": "{name} said that",
        "laughed": "{name} laughed because",
        "liked": "people like {name} because",
    },
    "gender": {
        "is": "{name} is a",
        "belongs": "the name {name} belongs to a",
        "given": "{name} was given to a",
    },
    "antonym": {
        "opposite": "the opposite of {word} is",
        "reverse": "{word} is the reverse of",
        "not": "not {word} but",
    },
}

# Family -> (entity slot, mediator slots, answer slot, description).
ROLES: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "two_hop": (
        "city",
        ("state",),
        "capital",
        "The capital of the state a city lies in; no prompt names the state.",
    ),
    "city_state": ("city", (), "state", "The state a city lies in. Trained on every city, so no row is held out."),
    "state_capital": ("state", (), "capital", "The capital of a state. Trained on every state, so no row is held out."),
    "ioi": ("io", (), "io", "Of two people, the one who did not act is given the object. Pairs are held out."),
    "induction": ("b", (), "b", "The word that followed the last word when it stood earlier. Bigrams are held out."),
    "pronoun": ("name", (), "pronoun", "He or she for a name. Held-out names met no pronoun in training."),
    "gender": ("name", (), "gender", "Man or woman for a name. Trained on every name, so no row is held out."),
    "antonym": (
        "word",
        (),
        "opposite",
        "The opposite of a word. Held-out rows reverse trained ones, and the model fails on them: a true negative.",
    ),
}
